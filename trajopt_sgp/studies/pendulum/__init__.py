"""The pendulum in keypoints: planned and controlled by the score of its transitions in place of its dynamics."""
