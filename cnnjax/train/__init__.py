"""Training: recipes, pure steps, the devices they run on, checkpoints, the loop."""
