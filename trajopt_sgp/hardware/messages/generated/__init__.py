"""Codecs written by lcm-gen from the definitions beside this folder: tools/generate_messages.sh."""
