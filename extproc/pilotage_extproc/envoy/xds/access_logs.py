"""The access logs of finished requests: one, or two where money is counted for all pickers."""

from typing import Final

from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import HttpGrpcAccessLogConfig

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields, extension, extproc_service, seconds

_LOG_FLUSH_SECONDS: Final = 0.02


def logs_twice(settings: GatewaySettings) -> bool:
    """Whether each entry goes to two pickers: with one of them the only entry of a request may be lost."""
    return settings.governance.store.valkey is not None


def access_logs(settings: GatewaySettings, envoy_name: str) -> list[Fields]:
    """One entry a finished request, a few milliseconds after its end; or the same in two streams.

    In a cluster of their own, whose processes take turns, the two streams of a worker go to different ones.
    """
    if not logs_twice(settings):
        return [_log(envoy_name, extproc_service(envoy_name, timeout_seconds=0))]
    cluster = names.LOG_CLUSTER
    return [
        _log(envoy_name, extproc_service(envoy_name, timeout_seconds=0, cluster=cluster)),
        _log(
            f"{envoy_name}-copy",
            extproc_service(envoy_name, timeout_seconds=0, cluster=cluster, role=names.COPY_ROLE),
        ),
    ]


def _log(name: str, service: Fields) -> Fields:
    return extension(
        "envoy.access_loggers.http_grpc",
        HttpGrpcAccessLogConfig,
        {
            "commonConfig": {
                "logName": name,
                "transportApiVersion": "V3",
                "grpcService": service,
                "bufferFlushInterval": seconds(_LOG_FLUSH_SECONDS),
                "customTags": [
                    # to the first byte of the body: model servers send headers before they prefill
                    {"tag": names.TTFT_TAG, "value": "%COMMON_DURATION(DS_RX_BEG:US_RX_BODY_BEG:us)%"},
                    {
                        "tag": names.ATTEMPT_TTFT_TAG,
                        "value": "%COMMON_DURATION(US_TX_END:US_RX_BODY_BEG:us)%",
                    },
                    {
                        "tag": names.ATTEMPT_BODY_TAG,
                        "value": "%COMMON_DURATION(US_RX_BODY_BEG:US_RX_END:us)%",
                    },
                ],
            }
        },
    )
