"""The MQTT codec: what is written is read again, at any cut, and nothing else is read at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.ip_terminal.packets import (
    MOST_FILTERS,
    NODE_READS,
    TERMINAL_READS,
    ConnAck,
    Connect,
    Decoder,
    Disconnect,
    Malformed,
    PingReq,
    PingResp,
    Property,
    PubAck,
    Publish,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    ToMany,
    UnsubAck,
    Unsubscribe,
    Will,
    encode,
)
from channels.ip_terminal.wire import string

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
topics = texts.filter(lambda t: t and not set(t) & set("+#"))
filters = st.one_of(topics, st.sampled_from(["#", "+", "a/+/b", "/#", "mt/1/dn/#", "$share/g/t"]))
ids = st.integers(1, 65_535)
blobs = st.binary(max_size=60)
codes = st.integers(0, 255)
users = st.lists(st.tuples(texts, texts), min_size=1, max_size=3).map(tuple)

by_place = {
    "c": {
        Property.SESSION_EXPIRY_INTERVAL: st.integers(0, 2**32 - 1), Property.RECEIVE_MAXIMUM: ids, Property.MAXIMUM_PACKET_SIZE: st.integers(1, 2**32 - 1),
        Property.AUTHENTICATION_METHOD: texts, Property.REQUEST_PROBLEM_INFORMATION: st.integers(0, 1), Property.USER_PROPERTY: users,
    },
    "w": {Property.WILL_DELAY_INTERVAL: st.integers(0, 9), Property.CONTENT_TYPE: texts, Property.CORRELATION_DATA: blobs},
    "C": {Property.SERVER_KEEP_ALIVE: st.integers(0, 65_535), Property.MAXIMUM_QOS: st.integers(0, 1), Property.ASSIGNED_CLIENT_IDENTIFIER: texts},
    "p": {Property.PAYLOAD_FORMAT_INDICATOR: st.integers(0, 1), Property.SUBSCRIPTION_IDENTIFIER: st.lists(st.integers(1, 268_435_455), min_size=1, max_size=3).map(tuple), Property.USER_PROPERTY: users},
    "s": {Property.SUBSCRIPTION_IDENTIFIER: st.integers(1, 268_435_455).map(lambda n: (n,)), Property.USER_PROPERTY: users},
    "a": {Property.REASON_STRING: texts, Property.USER_PROPERTY: users},
    "u": {Property.USER_PROPERTY: users},
    "d": {Property.REASON_STRING: texts, Property.SERVER_REFERENCE: texts},
}  # fmt: skip


def properties(place: str, version: int):
    return st.fixed_dictionaries({}, optional=by_place[place]) if version == 5 else st.just({})


def publishes(version: int):
    def of(qos: int):
        return st.builds(
            Publish, topics, blobs, st.just(qos), ids if qos else st.just(0), st.booleans(),
            st.booleans() if qos else st.just(False), properties("p", version),
        )  # fmt: skip

    return st.sampled_from([0, 1]).flatmap(of)


def from_terminal(version: int):
    subscription = (
        st.builds(Subscription, filters, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2))
        if version == 5
        else st.builds(Subscription, filters, st.integers(0, 2))
    )
    return st.one_of(
        publishes(version),
        st.builds(PubAck, ids, codes if version == 5 else st.just(0), properties("a", version)),
        st.builds(Subscribe, ids, st.lists(subscription, min_size=1, max_size=5).map(tuple), properties("s", version)),
        st.builds(Unsubscribe, ids, st.lists(filters, min_size=1, max_size=5).map(tuple), properties("u", version)),
        st.just(PingReq()),
        st.builds(Disconnect, codes if version == 5 else st.just(0), properties("d", version)),
    )


def from_node(version: int):
    return st.one_of(
        st.builds(ConnAck, codes, st.just(False), properties("C", version)),
        st.builds(ConnAck, st.just(0), st.just(True), properties("C", version)),
        publishes(version),
        st.builds(SubAck, ids, st.lists(codes, min_size=1, max_size=5).map(tuple), properties("a", version)),
        st.builds(UnsubAck, ids, st.lists(codes, min_size=1, max_size=5).map(tuple), properties("a", version))
        if version == 5
        else st.builds(UnsubAck, ids),
        st.just(PingResp()),
    )


def connects(version: int):
    wills = st.builds(Will, topics, blobs, st.integers(0, 2), st.booleans(), properties("w", version))
    user = st.tuples(texts, st.none() | blobs)
    return st.tuples(user | st.just((None, None)), st.none() | wills).flatmap(
        lambda given: st.builds(
            Connect, texts, st.just(version), st.booleans(), st.integers(0, 65_535),
            st.just(given[0][0]), st.just(given[0][1]), st.just(given[1]), properties("c", version),
        )
    )  # fmt: skip


versions = st.sampled_from([4, 5])


def streams(packets):
    return versions.flatmap(lambda v: st.tuples(st.just(v), st.lists(packets(v), max_size=6), st.randoms()))


def cut(data: bytes, chance) -> list[bytes]:
    places = sorted(chance.sample(range(len(data) + 1), min(len(data), 4)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def read(decoder: Decoder, chunks) -> list:
    return [packet for chunk in chunks for packet in decoder.feed(chunk)]


@given(streams(from_terminal))
def test_what_a_terminal_says_is_read_again_wherever_it_is_cut(stream):
    version, packets, chance = stream
    wire = b"".join(encode(packet, version) for packet in packets)
    assert read(Decoder(NODE_READS, version), cut(wire, chance)) == packets


@given(streams(from_node))
def test_what_the_node_says_is_read_again_wherever_it_is_cut(stream):
    version, packets, chance = stream
    wire = b"".join(encode(packet, version) for packet in packets)
    assert read(Decoder(TERMINAL_READS, version), cut(wire, chance)) == packets


@given(versions.flatmap(connects), st.randoms())
def test_a_connect_is_read_again_and_says_the_version(connect, chance):
    decoder = Decoder(NODE_READS)
    assert read(decoder, cut(encode(connect, connect.version), chance)) == [connect]
    assert decoder.version == connect.version


@given(st.binary(max_size=300), st.sampled_from([None, 4, 5]))
def test_no_bytes_do_more_than_be_refused(data, version):
    for reads in (NODE_READS, TERMINAL_READS):
        decoder = Decoder(reads, version, largest_bytes=200)
        try:
            read(decoder, [data])
        except Malformed as fault:
            assert str(fault)
            assert fault.reason >= Reason.UNSPECIFIED_ERROR


@given(versions.flatmap(lambda v: st.tuples(st.just(v), from_terminal(v))), st.data())
def test_a_packet_with_one_byte_changed_is_read_or_refused(packet, data):
    version, packet = packet
    wire = bytearray(encode(packet, version))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(Decoder(NODE_READS, version), [bytes(wire)])
    except Malformed as fault:
        assert str(fault)


@given(st.binary(max_size=300), topics, st.integers(0, 65_535), versions)
def test_a_payload_that_goes_to_many_is_the_same_packet_to_each(payload, topic, packet_id, version):
    many = ToMany(payload)
    for _ in range(2):
        alone = encode(Publish(topic, payload, 1 if packet_id else 0, packet_id), version)
        assert many.on(string(topic), packet_id, version) == alone


@pytest.mark.parametrize(
    ("hexadecimal", "reason"),
    [
        ("10 0e 0004 4d515454 03 02 003c 0002 6162", Reason.UNSUPPORTED_PROTOCOL_VERSION),  # level 3
        ("10 0e 0004 4d515454 04 03 003c 0002 6162", Reason.MALFORMED_PACKET),  # reserved connect flag
        ("10 0e 0004 4d515454 04 42 003c 0002 6162", Reason.MALFORMED_PACKET),  # a password without a name
        ("10 0e 0004 4d515454 04 22 003c 0002 6162", Reason.MALFORMED_PACKET),  # will retain without a will
        ("11 0e 0004 4d515454 04 02 003c 0002 6162", Reason.PROTOCOL_ERROR),  # flags of the first byte
        ("10 0f 0004 4d515454 04 02 003c 0002 6162 00", Reason.MALFORMED_PACKET),  # longer than its content
        ("10 0e 0004 4d515454 04 02 003c 0003 6162", Reason.MALFORMED_PACKET),  # a string beyond the end
        ("10 0e 0004 4d515454 04 02 003c 0002 c328", Reason.MALFORMED_PACKET),  # not UTF-8
        ("10 0e 0004 4d515454 04 02 003c 0002 6100", Reason.MALFORMED_PACKET),  # U+0000
        ("10 ff ff ff ff 7f", Reason.MALFORMED_PACKET),  # a length of five bytes
        ("10 ff ff ff 7f", Reason.PACKET_TOO_LARGE),
        ("c0 00", Reason.PROTOCOL_ERROR),  # anything before CONNECT
        ("20 02 00 00", Reason.PROTOCOL_ERROR),  # what only a node says
        ("f0 00", Reason.PROTOCOL_ERROR),
    ],
)
def test_a_wrong_first_packet_is_refused_by_name(hexadecimal, reason):
    with pytest.raises(Malformed) as refusal:
        read(Decoder(NODE_READS, largest_bytes=16_384), [bytes.fromhex(hexadecimal)])
    assert refusal.value.reason is reason


@pytest.mark.parametrize(
    ("hexadecimal", "reason"),
    [
        ("34 05 0001 61 0001", Reason.QOS_NOT_SUPPORTED),
        ("36 05 0001 61 0001", Reason.MALFORMED_PACKET),
        ("38 03 0001 61", Reason.MALFORMED_PACKET),  # DUP with QoS 0
        ("30 03 0001 23", Reason.TOPIC_NAME_INVALID),  # publish to #
        ("30 02 0000", Reason.TOPIC_NAME_INVALID),
        ("32 05 0001 61 0000", Reason.PROTOCOL_ERROR),  # packet id 0
        ("80 06 0001 0001 61 00", Reason.PROTOCOL_ERROR),  # SUBSCRIBE without its flag
        ("82 02 0001", Reason.PROTOCOL_ERROR),  # no filter
        ("82 06 0001 0001 61 03", Reason.MALFORMED_PACKET),  # QoS 3
        ("82 07 0001 0002 612b 00", Reason.TOPIC_FILTER_INVALID),  # a+
        ("82 08 0001 0003 232f61 00", Reason.TOPIC_FILTER_INVALID),  # #/a
        ("c1 00", Reason.PROTOCOL_ERROR),
        ("c0 01 00", Reason.MALFORMED_PACKET),
        ("10 0e 0004 4d515454 04 02 003c 0002 6162", Reason.PROTOCOL_ERROR),  # CONNECT a second time
    ],
)
def test_a_wrong_later_packet_is_refused_by_name(hexadecimal, reason):
    with pytest.raises(Malformed) as refusal:
        read(Decoder(NODE_READS, 4), [bytes.fromhex(hexadecimal)])
    assert refusal.value.reason is reason


@pytest.mark.parametrize(
    ("hexadecimal", "reason"),
    [
        ("30 06 0001 61 02 24 01", Reason.PROTOCOL_ERROR),  # MAXIMUM_QOS in a PUBLISH
        ("30 06 0001 61 02 7e 01", Reason.MALFORMED_PACKET),  # no such property
        ("30 08 0001 61 04 01 00 01 00", Reason.PROTOCOL_ERROR),  # twice
        ("30 06 0001 61 02 01 02", Reason.PROTOCOL_ERROR),  # a value it may not have
        ("30 07 0001 61 03 23 00 01", Reason.TOPIC_ALIAS_INVALID),
        ("30 05 0001 61 05 01", Reason.MALFORMED_PACKET),  # properties beyond the end
        ("30 05 0001 61 80 00", Reason.MALFORMED_PACKET),  # a number longer than it need be
    ],
)
def test_a_wrong_property_is_refused_by_name(hexadecimal, reason):
    with pytest.raises(Malformed) as refusal:
        read(Decoder(NODE_READS, 5), [bytes.fromhex(hexadecimal)])
    assert refusal.value.reason is reason


def test_what_came_before_a_fault_was_read():
    packets = Decoder(NODE_READS, 4).feed(encode(PingReq(), 4) + b"\xff\x00")
    assert next(packets) == PingReq()
    with pytest.raises(Malformed):
        next(packets)


def test_more_filters_than_the_limit_are_refused():
    many = Subscribe(1, (Subscription("a"),) * (MOST_FILTERS + 1))
    with pytest.raises(Malformed) as refusal:
        read(Decoder(NODE_READS, 4), [encode(many, 4)])
    assert refusal.value.reason is Reason.QUOTA_EXCEEDED


def test_a_length_beyond_the_limit_is_refused_before_its_content_comes():
    decoder = Decoder(NODE_READS, 4, largest_bytes=1_000)
    with pytest.raises(Malformed):
        list(decoder.feed(bytes.fromhex("30 e9 07")))


def test_a_string_that_mqtt_cannot_carry_is_not_written():
    with pytest.raises(ValueError, match="65535"):
        encode(Publish("a" * 65_536, b""), 4)
