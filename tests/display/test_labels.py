"""What workspaces are called where people look: by name, with as much of the key as tells them apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aidp_sessions._display.text import workspace_labels

from ..helpers.strategies import brief

keys = st.text("ab", min_size=1, max_size=12)
names = st.none() | st.text("AB ", max_size=2)


def test_a_workspace_is_called_by_its_name() -> None:
    """By its key if the name is blank or not known; a name that is known from one place is used for all."""
    assert workspace_labels([("k1", "Fraud"), ("k2", ""), ("k3", None), ("k4", " "), ("k2", "Churn"), ("k1", "")]) == {
        "k1": "Fraud",
        "k2": "Churn",
        "k3": "k3",
        "k4": "k4",
    }


def test_workspaces_of_the_same_name_are_told_apart_by_the_beginnings_of_their_keys() -> None:
    """Eight characters, more if they do not differ; the whole key if it is that short."""
    same = "51abe3fa-37fd-46f9-a76f-7961117f9835"
    labels = workspace_labels(
        [
            (same, "Analytics"),
            ("e15a4ac0-bdc9-4f2a-9a48-c34ffa864bd3", "Analytics"),
            ("aaaaaaaa-1", "Twin"),
            ("aaaaaaaa-2-more", "Twin"),
            ("short", "Brief"),
            ("other", "Brief"),
            ("Brief", None),
        ]
    )

    assert list(labels.values()) == [
        "Analytics (51abe3fa…)",
        "Analytics (e15a4ac0…)",
        "Twin (aaaaaaaa-1)",
        "Twin (aaaaaaaa-2…)",
        "Brief (short)",
        "Brief (other)",
        "Brief (Brief)",
    ]


def test_a_label_does_not_control_the_terminal() -> None:
    """Names that differ in control characters only are the same name."""
    assert workspace_labels([("k1", "Red\x1b"), ("k2", "Red\x07"), ("\u202ek3", None)]) == {
        "k1": "Red\N{REPLACEMENT CHARACTER} (k1)",
        "k2": "Red\N{REPLACEMENT CHARACTER} (k2)",
        "\u202ek3": "\N{REPLACEMENT CHARACTER}k3",
    }


@brief
@given(st.dictionaries(keys, names))
def test_no_two_workspaces_have_the_same_label(named: dict[str, str | None]) -> None:
    labels = workspace_labels(named.items())

    assert labels.keys() == named.keys()
    assert len(set(labels.values())) == len(named)


def test_what_belongs_to_no_workspace_has_no_label() -> None:
    assert workspace_labels([(None, None), (None, "Fraud")]) == {}
