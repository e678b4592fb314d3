"""How the flows run: settings, servers, the engine, processes, shutdown and health."""
