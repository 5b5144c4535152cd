"""The console: pages for people, each a client of the API's own routes."""
