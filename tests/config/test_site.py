"""What a site file may not say, beyond its types: where it listens, who sits at the desk, where the ledger is."""

from pathlib import Path

import pytest

from config.document import ConfigError
from config.site import bind_site, load_site
from dispatcher.node import kinds

KINDS = {"website": kinds()["website"].Settings}
SITE = f"""\
mode: drill
node: city-hall
state_dir: state
city: mitaka
ledger: sqlite:///state/todoke.db
residents: {{listen: "127.0.0.1:8180", url: "http://127.0.0.1:8180"}}
control: {{listen: "127.0.0.1:8181"}}
staff:
  - {{name: 職員0001, roles: [originator], token_hash: "{"1" * 64}"}}
  - {{name: 職員0002, roles: [approver], token_hash: "{"2" * 64}"}}
channels:
  website: {{folder: state/site, url: "http://127.0.0.1:8180"}}
"""


def reasons(text):
    with pytest.raises(ConfigError) as refused:
        bind_site(text.encode(), "site.yaml", Path("/base"), KINDS)
    return str(refused.value).splitlines()


def test_a_site_binds():
    assert bind_site(SITE.encode(), "site.yaml", Path("/base"), KINDS).channels["website"].folder == Path(
        "/base/state/site"
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("mode: drill", "mode: exercise", "site.yaml:1: mode: 'exercise' is not accepted; there are live, drill"),
        ("city-hall", "City Hall", "site.yaml:2: node: 'City Hall': small letters"),
        ("mitaka", "atlantis", "site.yaml:4: city: 'atlantis': no such city; there are mitaka"),
        ("sqlite:///state/todoke.db", "todoke.db", "site.yaml:5: ledger: sqlite:///PATH or postgresql://"),
        (
            "sqlite:///state/todoke.db",
            "postgresql://a:canary@db/x",
            "site.yaml:5: ledger: a password never stands here",
        ),
        ("sqlite:///state/todoke.db", "postgresql://a@db/x?password=canary", "site.yaml:5: ledger: a password never"),
        ('listen: "127.0.0.1:8180"', "listen: 8180", "site.yaml:6: residents.listen: '8180': write host:port"),
        ('listen: "127.0.0.1:8180"', "listen: 127.0.0.1:99999", "residents.listen: '127.0.0.1:99999': write host:port"),
        ('listen: "127.0.0.1:8180"', "listen: 127.0.0.999:80", "residents.listen: '127.0.0.999:80': 127.0.0.999 is no"),
        (
            'listen: "127.0.0.1:8180", url: "http:',
            'listen: "[::1]:80", url: "ftp:',
            "site.yaml:6: residents.url: 'ftp:",
        ),
        ("127.0.0.1:8181", "0.0.0.0:8181", "site.yaml:7: control.listen: '0.0.0.0:8181': a loopback address is needed"),
        (
            "127.0.0.1:8181",
            "127.evil.example:80",
            "control.listen: '127.evil.example:80': a loopback address is needed",
        ),
        ("127.0.0.1:8181", "127.0.0.1:8180", "site.yaml:7: control: the residents' and the staff's listener cannot be"),
        ("[approver]", "[originator]", "site.yaml:8: staff: an approver and another who may write are needed"),
        ("[originator]", "[viewer]", "site.yaml:8: staff: an approver and another who may write are needed"),
        ("[originator]", "[]", "site.yaml:9: staff[0].roles: at least one of viewer, originator, approver"),
        ("職員0002", "職員0001", "site.yaml:8: staff: two people have the same name"),
        ("2" * 64, "1" * 64, "site.yaml:8: staff: two people have the same token"),
        ("2" * 64, "canary", "site.yaml:10: staff[1].token_hash: 64 hexadecimal digits are needed"),
        ("  website:", "  webiste:", "site.yaml:12: channels.webiste: no such kind; did you mean website?"),
    ],
)
def test_what_a_site_may_not_say_is_named_with_its_line(old, new, problem):
    assert old in SITE
    found = reasons(SITE.replace(old, new))
    assert any(problem in reason for reason in found), found
    assert not any("canary" in reason for reason in found)


def test_a_short_key_for_the_accounts_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("ACCOUNTS_KEY", "canary")
    found = reasons(SITE.replace("channels:", "accounts_key: {env: ACCOUNTS_KEY}\nchannels:"))
    assert found == [
        "site.yaml:11: accounts_key: 32 random characters are needed, as `openssl rand -base64 32` prints them"
    ]


def test_a_wrong_unit_in_a_channel_hides_nothing_of_the_rest():
    found = reasons(
        SITE.replace("city-hall", "City").replace("[approver]", "[viewer]").replace("{folder", "{timeout: 5, folder")
    )
    assert [reason.split(": ")[1] for reason in found] == ["node", "staff", "channels.website.timeout"]


def test_a_site_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml:1: document: No such file"):
        load_site(tmp_path / "nowhere.yaml", KINDS)
