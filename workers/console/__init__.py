"""What the console's page of a run is made of."""
