"""What the layers of images hold: read once from the engine or an archive, and kept by digest."""
