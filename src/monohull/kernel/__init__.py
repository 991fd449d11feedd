"""What every feature stands on. No feature, no wire: nothing here imports `modules`."""
