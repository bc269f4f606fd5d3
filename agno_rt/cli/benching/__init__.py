"""What `agno-rt bench` measures, and how it is shown. Imported by that command alone."""
