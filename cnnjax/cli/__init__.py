"""The command line: menu, help, studies, the dashboard's server."""
