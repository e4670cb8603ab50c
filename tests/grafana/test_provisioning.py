"""What Grafana reads when it starts. Its own way of filling in the environment: `$$` is a dollar."""

import pytest
import yaml

from grafana.frame import AGENT_ADDRESS, DIRECTORY

PROVISIONING = DIRECTORY.parent / "provisioning"


def provisioned(kind):
    (file,) = (PROVISIONING / kind).glob("*.yaml")
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert document["apiVersion"] == 1
    return document


@pytest.fixture
def source():
    (one,) = provisioned("datasources")["datasources"]
    return one


def test_the_data_source_is_the_prometheus_of_the_stack(source):
    assert (source["type"], source["url"], source["uid"]) == (
        "prometheus",
        "http://prometheus:9090",
        "buildprof-prometheus",
    )
    assert source["isDefault"] is True


def test_the_data_source_knows_how_often_prometheus_scrapes(source):
    configuration = yaml.safe_load(
        (DIRECTORY.parents[1] / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    )
    assert source["jsonData"]["timeInterval"] == configuration["global"]["scrape_interval"]


def test_exemplars_lead_to_the_page_of_their_build(source):
    (link,) = source["jsonData"]["exemplarTraceIdDestinations"]
    assert link["name"] == "ref"
    assert link["url"].replace("$$", "$") == AGENT_ADDRESS + "/builds/${__value.raw}"


def test_dashboards_are_in_a_folder_and_are_changed_in_their_source_only():
    (provider,) = provisioned("dashboards")["providers"]
    assert (provider["type"], provider["folder"], provider["allowUiUpdates"]) == ("file", "Builds", False)
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
