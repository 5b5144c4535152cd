"""What can be asked of the service, as values: either face carries them out."""
