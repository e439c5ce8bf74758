"""D4RL's locomotion tasks: data made by policies trained here, or known, in real MuJoCo environments."""
