"""The dashboards: their files, their form, and every query asked of a Prometheus that scraped real builds."""
