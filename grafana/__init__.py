"""The dashboards' source. `python -m grafana` writes it as the JSON in `dashboards/`."""
