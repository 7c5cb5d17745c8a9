import struct
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multicast import code, fdt, manifest, packet
from multicast.key_files import BadKey
from multicast.keys import RootKey, SenderKey, Trust, load_root, load_sender, load_trust, read_certificate
from tests.multicast.session import KEY, NOW, NOW_S, ROOT, STRANGER, by_root, by_sender, notice

words = st.integers(0, 2**32 - 1)


@st.composite
def packets(draw):
    symbol_bytes = draw(st.integers(8, 160)) * 8
    certificate = draw(st.none() | st.binary(min_size=packet.CERTIFICATE_BYTES, max_size=packet.CERTIFICATE_BYTES))
    if draw(st.booleans()):
        oti = packet.RaptorQ(draw(st.integers(1, 10_000_000)), symbol_bytes)
        symbol = draw(st.binary(min_size=symbol_bytes, max_size=symbol_bytes))
        toi = draw(st.integers(1, 2**32 - 1))
        return packet.Packet(draw(words), toi, oti, draw(st.integers(0, 2**24 - 1)), symbol, None, certificate)
    table = draw(st.binary(min_size=1, max_size=500))
    oti = packet.NoCode(len(table), symbol_bytes)
    index = draw(st.integers(0, oti.source_symbols - 1))
    symbol = table[index * symbol_bytes : (index + 1) * symbol_bytes]
    return packet.Packet(draw(words), 0, oti, index, symbol, draw(st.integers(0, 2**20 - 1)), certificate)


@given(packets())
def test_a_packet_is_read_as_it_was_written(plain):
    assert packet.read(packet.write(plain)) == plain


@given(packets())
def test_a_signed_packet_is_read_and_believed(plain):
    datagram = packet.write(plain, KEY)
    read = packet.read(datagram)
    assert (read.symbol, read.toi, read.certificate) == (plain.symbol, plain.toi, plain.certificate)
    assert packet.key_id(datagram, read) == KEY.key_id
    assert packet.is_signed_by(datagram, read, by_sender().sender(KEY.key_id, NOW_S).verify)


@given(packets(), st.data())
def test_any_flipped_bit_of_a_signed_packet_is_seen(plain, data):
    datagram = bytearray(packet.write(plain, KEY))
    at = data.draw(st.integers(0, len(datagram) - 1))
    datagram[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = packet.read(bytes(datagram))
    except packet.Malformed:
        return
    assert not packet.is_signed_by(bytes(datagram), read, by_sender().sender(KEY.key_id, NOW_S).verify)


@given(st.binary(max_size=2000))
def test_no_bytes_make_the_packet_reader_fail_otherwise_than_malformed(data):
    for datagram in (data, b"\x10\xa0" + data):
        try:
            packet.read(datagram)
        except packet.Malformed as error:
            assert str(error)


@pytest.mark.parametrize("spoil", ["cut", "longer", "no FTI", "header past the end", "extension of no length"])
def test_a_packet_whose_lengths_do_not_fit_is_malformed(spoil):
    datagram = packet.write(packet.Packet(1, 7, packet.RaptorQ(1000, 64), 3, bytes(64)))
    spoilt = {
        "cut": datagram[:-1],
        "longer": datagram + b"x",
        "no FTI": datagram[:2] + b"\x04" + datagram[3:16] + datagram[32:],
        "header past the end": datagram[:2] + b"\xff" + datagram[3:],
        "extension of no length": datagram[:17] + b"\0" + datagram[18:],
    }[spoil]
    with pytest.raises(packet.Malformed):
        packet.read(spoilt)


@pytest.mark.parametrize(
    ("datagram_bytes", "is_signed", "expected"), [(1472, False, 1432), (1472, True, 1360), (1452, True, 1344)]
)
def test_symbols_fill_a_datagram_and_no_more(datagram_bytes, is_signed, expected):
    size = packet.symbol_bytes(datagram_bytes, is_signed=is_signed)
    datagram = packet.write(
        packet.Packet(1, 7, packet.RaptorQ(10_000, size), 3, bytes(size)), KEY if is_signed else None
    )
    assert size == expected
    assert datagram_bytes - 8 < len(datagram) <= datagram_bytes


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=20_000), st.integers(8, 179).map(lambda n: n * 8), st.randoms())
def test_k_symbols_and_a_few_give_any_object_back_whichever_they_are(content, symbol_bytes, chance):
    oti, symbols = code.encode(content, symbol_bytes)
    assert len(symbols) >= 3 * oti.source_symbols
    some = chance.sample(symbols, min(len(symbols), oti.source_symbols + 6))
    assert code.decode(oti, {int.from_bytes(s[:4], "big"): s[4:] for s in some}) == content


@pytest.mark.parametrize("size", [9_999_999, 10_000_000])
@pytest.mark.parametrize("symbol_bytes", [1336, 1360, 1416, 1432])
def test_the_largest_objects_still_come_to_one_block(size, symbol_bytes):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    oti, symbols = code.encode(content, symbol_bytes)
    assert {symbol[0] for symbol in symbols} == {0}
    repair = symbols[-oti.source_symbols - 4 :]
    assert code.decode(oti, {int.from_bytes(s[:4], "big"): s[4:] for s in repair}) == content


@pytest.mark.parametrize(
    ("size", "symbol_bytes"), [(0, 1360), (10_000_001, 1360), (100, 63), (100, 1361), (100, 1440), (9_000_000, 64)]
)
def test_what_the_library_would_panic_on_is_refused_before(size, symbol_bytes):
    with pytest.raises(code.Unencodable, match="accepted"):
        code.parameters(size, symbol_bytes)


def test_a_decoder_refuses_symbols_of_another_length_and_parameters_of_another_hand():
    with pytest.raises(code.Unencodable):
        code.decode(packet.RaptorQ(100, 64), {0: bytes(63), 1: bytes(64)})
    with pytest.raises(code.Unencodable):
        code.decode(packet.RaptorQ(100, 64, source_blocks=2), {0: bytes(64), 1: bytes(64)})


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80)
files = st.builds(
    fdt.File,
    st.integers(1, 2**32 - 1),
    names,
    st.sampled_from(["text/plain", 'a/b; c="d&<"']),
    st.integers(0, 10**7),
    st.none() | st.binary(min_size=16, max_size=16),
)


@given(st.lists(files, max_size=20, unique_by=lambda f: f.toi), st.booleans())
def test_an_fdt_is_read_as_it_was_written(listed, is_full):
    table = fdt.Fdt(int(NOW_S), tuple(listed), is_full)
    assert fdt.read(fdt.write(table)) == table


HOSTILE_FDTS = {
    "DTD": b'<!DOCTYPE a [<!ENTITY b "c">]><FDT-Instance Expires="4000000000">&b;</FDT-Instance>',
    "external entity": b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><FDT-Instance Expires="4000000000"/>',
    "gzip": b'<FDT-Instance Expires="4000000000"><File TOI="1" Content-Encoding="gzip" Content-Length="9"/></FDT-Instance>',
    "gzip of everything": b'<FDT-Instance Content-Encoding="gzip" Expires="4000000000"/>',
    "lengths that differ": b'<FDT-Instance Expires="4000000000"><File TOI="1" Content-Length="9" Transfer-Length="1"/></FDT-Instance>',
    "no Expires": b"<FDT-Instance/>",
    "a number of a million digits": b'<FDT-Instance Expires="' + b"9" * 60_000 + b'"/>',
    "deep": b'<FDT-Instance Expires="4000000000">' + b"<a>" * 10_000,
    "many files": b'<FDT-Instance Expires="4000000000">' + b'<File TOI="1" Content-Length="1"/>' * 100,
    "too long": b"<FDT-Instance>" + b" " * 65_536,
    "TOI 0": b'<FDT-Instance Expires="4000000000"><File TOI="0" Content-Length="1"/></FDT-Instance>',
    "not XML": b"\x1f\x8b\x08",
    "another root": b'<html Expires="4000000000"/>',
    "MD5": b'<FDT-Instance Expires="4000000000"><File TOI="1" Content-Length="1" Content-MD5="AAAA"/></FDT-Instance>',
}


@pytest.mark.parametrize("data", HOSTILE_FDTS.values(), ids=HOSTILE_FDTS.keys())
def test_a_hostile_fdt_is_refused(data):
    with pytest.raises(fdt.BadFdt):
        fdt.read(data)


@given(st.binary(max_size=500))
def test_no_bytes_make_the_fdt_reader_fail_otherwise(data):
    try:
        fdt.read(data)
    except fdt.BadFdt as error:
        assert str(error)


def said(**changes):
    values = {
        "status": "Exercise",
        "tsi": 1,
        "sequence": 5,
        "issued": NOW,
        "expires": NOW + timedelta(hours=1),
        "notices": (notice(),),
        "cancels": ("jp.example.0",),
    }
    return manifest.Manifest(**values | changes)


@pytest.mark.parametrize("trust", [by_root, by_sender])
def test_a_manifest_is_believed_by_the_root_alone_and_by_the_senders_key_alone(trust):
    assert manifest.read(manifest.write(said(), KEY), trust(), NOW_S) == said()


@pytest.mark.parametrize("trust", [by_root, by_sender])
def test_any_altered_byte_of_a_manifest_is_seen(trust):
    data = manifest.write(said(), KEY)
    for at in range(len(data)):
        spoilt = bytearray(data)
        spoilt[at] ^= 1
        try:
            # base64 has bits that say nothing: then the very same manifest comes out, and nothing else ever.
            assert manifest.read(bytes(spoilt), trust(), NOW_S) == said()
            assert at < data.index(b"{")
        except manifest.BadManifest:
            continue


@pytest.mark.parametrize("trust", [by_root, by_sender])
def test_a_manifest_of_somebody_else_is_not_believed_even_with_his_own_certificate(trust):
    with pytest.raises(manifest.BadManifest, match="nobody"):
        manifest.read(manifest.write(said(), STRANGER), trust(), NOW_S)


def test_a_manifest_past_its_time_or_its_certificates_is_not_believed():
    data = manifest.write(said(expires=NOW + timedelta(days=60)), KEY)
    with pytest.raises(manifest.BadManifest, match="nobody"):
        manifest.read(data, by_root(), NOW_S + 31 * 86_400)
    with pytest.raises(manifest.BadManifest, match="expired"):
        manifest.read(data, by_sender(), NOW_S + 61 * 86_400)


def test_a_drill_key_signs_no_live_notice_and_a_live_receiver_believes_no_drill():
    with pytest.raises(manifest.BadManifest, match="Exercise"):
        manifest.write(said(status="Actual"), KEY)
    with pytest.raises(manifest.BadManifest):
        manifest.read(manifest.write(said(), KEY), Trust(root=ROOT.public, status="Actual"), NOW_S)


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0},
        {"notices": (notice("\u202eevil"),)},
        {"cancels": ("x" * 300,)},
        {"notices": (notice(),) * 64},
        {"expires": NOW.replace(tzinfo=None)},
    ],
)
def test_a_manifest_with_values_that_no_receiver_takes_is_not_written(change):
    with pytest.raises(manifest.BadManifest):
        manifest.write(said(**change), KEY)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_manifest_reader_fail_otherwise(data):
    for body in (data, b"todoke-manifest 1\n" + data, b"todoke-manifest 1\n\nAAAA\n" + data):
        with pytest.raises(manifest.BadManifest):
            manifest.read(body, by_root(), NOW_S)


def test_keys_are_kept_and_found_again(tmp_path):
    ROOT.save(tmp_path / "root.key")
    KEY.save(tmp_path / "sender.key")
    assert {f.name: f.stat().st_mode & 0o777 for f in tmp_path.glob("*.key")} == {
        "root.key": 0o600,
        "sender.key": 0o600,
    }
    assert load_root(tmp_path / "root.key").public == ROOT.public
    loaded = load_sender(tmp_path / "sender.key")
    assert (loaded.public, loaded.certificate) == (KEY.public, KEY.certificate)
    for public in ("root.key.pub", "sender.key.pub"):
        assert manifest.read(manifest.write(said(), loaded), load_trust(tmp_path / public), NOW_S) == said()


def test_a_key_is_never_overwritten_nor_used_when_others_can_read_it(tmp_path):
    path = tmp_path / "sender.key"
    KEY.save(path)
    with pytest.raises(BadKey, match="never overwritten"):
        KEY.save(path)
    path.chmod(0o640)
    with pytest.raises(BadKey, match="chmod 600"):
        load_sender(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"kind": "todoke-sender-key", "status": "Actual", "seed": "00"}',
        '{"kind": "todoke-sender-key", "status": "x"}',
        "\udcff",
    ],
)
def test_what_is_not_a_key_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "odd.key"
    path.write_bytes(text.encode(errors="surrogateescape"))
    path.chmod(0o600)
    for load in (load_sender, load_root, load_trust):
        with pytest.raises(BadKey, match=r"odd\.key"):
            load(path)


def test_a_certificate_holds_for_thirty_days_and_not_a_second_longer():
    written = KEY.certificate.write()
    assert len(written) == packet.CERTIFICATE_BYTES
    assert read_certificate(written) == KEY.certificate
    assert by_root().admit(written, NOW_S + 30 * 86_400 - 1)
    assert not by_root().admit(written, NOW_S + 30 * 86_400)
    for at in range(len(written)):
        assert not by_root().admit(written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :], NOW_S)


def test_an_expired_sender_is_forgotten():
    trust = by_root()
    assert trust.admit(KEY.certificate.write(), NOW_S)
    assert trust.sender(KEY.key_id, NOW_S)
    assert not trust.sender(KEY.key_id, NOW_S + 31 * 86_400)
    assert trust.is_new(KEY.certificate.write())


def test_many_certified_senders_do_not_grow_a_receiver():
    trust = by_root()
    for number in range(50):
        seed = struct.pack(">I", number) * 8
        assert trust.admit(ROOT.certify(SenderKey(seed, "Exercise").public, "Exercise", int(NOW_S)).write(), NOW_S)
    assert len(trust.senders(NOW_S)) <= 8


def test_trust_takes_one_key_and_a_real_one():
    with pytest.raises(BadKey):
        Trust()
    with pytest.raises(BadKey):
        Trust(root=b"short")
    assert RootKey.generate().public != RootKey.generate().public
