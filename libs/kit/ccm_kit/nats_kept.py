"""The streams and buckets of the table of channels, as NATS is to keep them."""

from contextlib import suppress

import nats.js.errors
from nats.js import JetStreamContext
from nats.js import api as js_api

from ccm_contracts.channels import BUCKETS, CHANNELS, STREAMS, Bucket, Stream


async def ensure_kept(js: JetStreamContext) -> None:
    """Make those that are missing; never change or delete one. Raises what nats-py does."""
    for stream in STREAMS:
        await _ensure(js, _stream_config(stream))
    for bucket in BUCKETS:
        await _ensure(js, _bucket_config(bucket))


async def _ensure(js: JetStreamContext, config: js_api.StreamConfig) -> None:
    assert config.name is not None
    try:
        await js.stream_info(config.name)
    except nats.js.errors.NotFoundError:
        with suppress(nats.js.errors.BadRequestError):  # another service made it just now
            await js.add_stream(config)


def _stream_config(stream: Stream) -> js_api.StreamConfig:
    subjects = [channel.subject() for channel in CHANNELS if channel.kept_in is stream]
    return js_api.StreamConfig(
        name=stream.name,
        description=stream.summary,
        subjects=subjects,
        storage=js_api.StorageType.FILE,
        discard=js_api.DiscardPolicy.OLD,
        max_age=float(stream.max_age_s),
        max_bytes=stream.max_bytes,
        max_msg_size=stream.max_message,
        duplicate_window=float(stream.duplicate_window_s),
        allow_direct=True,
    )


def _bucket_config(bucket: Bucket) -> js_api.StreamConfig:
    return js_api.StreamConfig(
        name=bucket.stream,
        description=bucket.summary,
        subjects=[f"$KV.{bucket.name}.>"],
        storage=js_api.StorageType.FILE,
        discard=js_api.DiscardPolicy.NEW,
        max_msgs_per_subject=bucket.history,
        max_bytes=bucket.max_bytes,
        max_msg_size=bucket.max_value,
        allow_direct=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
    )
