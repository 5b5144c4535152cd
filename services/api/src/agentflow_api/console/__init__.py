"""The console: pages for a browser, made of the answers of this service's own API."""
