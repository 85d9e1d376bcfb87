"""A model of the player: playlists, playback, steering. No I/O."""
