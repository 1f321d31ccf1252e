"""An application with jobs, which queries the database when it is loaded."""
