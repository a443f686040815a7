"""The server: puts the store, the API and the services into one process. It decides nothing."""
