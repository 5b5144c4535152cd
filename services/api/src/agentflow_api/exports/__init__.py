"""Archives of threads: asked for, downloaded, brought back."""
