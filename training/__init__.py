"""Training, evaluation and export of the embedded wardrobe model."""
