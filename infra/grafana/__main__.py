"""`python -m infra.grafana` (`make dashboards`) writes the dashboards that Grafana reads."""

from infra.grafana.dashboards import FOLDER, dashboards

if __name__ == "__main__":
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text)
