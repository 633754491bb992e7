"""What the names of consumers say about an outbox."""

from ccm_uplink.segments import Layout, Segment, layout_of, live_name, off_name


def test_family_alone_covers_the_whole_stream() -> None:
    assert layout_of("mqtt", ["history", "mqtt", "mqtt-events", "follow-x"]) == Layout(
        (Segment("mqtt", None),)
    )


def test_each_segment_ends_where_the_next_one_begins() -> None:
    names = ["mqtt-s900", "mqtt-s500", "mqtt", "mqtt-events-s7"]
    assert layout_of("mqtt", names).segments == (
        Segment("mqtt", None, 499),
        Segment("mqtt-s500", 500, 899),
        Segment("mqtt-s900", 900),
    )


def test_switched_off_link_owes_what_is_before_its_mark() -> None:
    layout = layout_of("mqtt", ["mqtt", "mqtt-off701"])
    assert layout.segments == (Segment("mqtt", None, 700),)
    assert layout.off == Segment("mqtt-off701", 701)


def test_what_was_measured_while_off_belongs_to_no_segment() -> None:
    assert live_name("mqtt", 900, 700) == "mqtt-s900-e700"
    layout = layout_of("mqtt", ["mqtt", "mqtt-s900-e700"])
    assert layout.segments == (Segment("mqtt", None, 700), Segment("mqtt-s900-e700", 900))


def test_mark_that_was_left_over_when_switched_on_is_void() -> None:
    """Killed after the new segment was made and before the mark was retired."""
    for start in (701, 900):
        layout = layout_of("mqtt", ["mqtt", off_name("mqtt", 701), live_name("mqtt", start, 700)])
        assert layout.segments[0] == Segment("mqtt", None, 700)
        assert layout.segments[1].start == start
        assert layout.off is None
        assert [segment.name for segment in layout.void] == ["mqtt-off701"]


def test_nothing_there() -> None:
    assert layout_of("mqtt", ["mqtt-events", "mqttx", "mqtt-s"]) == Layout(())
