"""Who may watch and who does: admission, the registry of viewers, CMCD."""
