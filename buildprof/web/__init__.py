"""The HTTP face: health, metrics, the JSON API, live events, the page."""
