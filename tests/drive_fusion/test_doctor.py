"""The doctor names what is missing and how to get it."""

from drive_fusion import doctor
from drive_fusion.doctor import DoctorConfig, Finding, run_doctor


def test_every_check_reports_on_this_machine():
    found = {finding.name: finding for finding in doctor.findings()}
    assert set(found) >= {"python", "packages", "threads", "device", "open3d", "browser", "video", "cache", "worlds"}
    assert found["packages"].status == "ok"
    assert found["threads"].status == "ok"


def test_a_missing_browser_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    finding = doctor._browser()
    assert finding.status == "absent" and "apt-get install chromium" in finding.detail


def test_the_exit_status_tells_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "findings", lambda: [Finding("browser", "absent", "get one")])
    assert run_doctor(DoctorConfig()) == 0
    assert run_doctor(DoctorConfig(strict=True)) == 1
    monkeypatch.setattr(doctor, "findings", lambda: [Finding("threads", "missing", "get some")])
    assert run_doctor(DoctorConfig()) == 1
    assert "get some" in capsys.readouterr().out
