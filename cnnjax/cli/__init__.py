"""The command line: menu, help, studies, the dashboard's server. Nothing imports it but launch.py."""
