"""What is odd about who the gateway asks its clients to be."""

import pytest

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings

JWT = {"issuer": "i", "jwksUri": "https://idp.example/k", "tenantClaim": "t", "caFile": "/ca.pem"}


@pytest.mark.parametrize(
    ("jwt", "codes"),
    [
        ({**JWT, "audiences": ["gateway"]}, []),
        (JWT, ["any-audience"]),
        ({**JWT, "audiences": ["gateway"], "jwksUri": "http://idp.example/k"}, ["no-tls"]),
    ],
)
def test_tokens_that_anybody_could_make_or_that_are_for_others_are_told(jwt, codes):
    settings = GatewaySettings(governance={"identity": {"jwt": jwt}})
    found = compile_resources(load_texts([]), settings).findings
    assert [one.code for one in found if one.path.startswith("spec.governance.identity")] == codes
