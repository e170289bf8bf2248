"""What holds for every request of the gateway, whatever policies say: they only tighten it."""

from typing import Literal

from pilotage_api.content_settings import ContentSettings
from pilotage_api.identity_settings import IdentitySettings
from pilotage_api.settings_part import SettingsPart
from pilotage_api.store_settings import StoreSettings


class GovernanceSettings(SettingsPart):
    """What holds for all requests of the gateway. With `identity`, or `unmatched: refuse`, it is a floor."""

    unmatched: Literal["refuse", "serve"] | None = None
    """Requests that no policy matches: `serve` by their model name, or `refuse` with 403. Unset refuses where
    there is an `identity`, and serves where there is none."""
    identity: IdentitySettings | None = None
    """Who may ask. Unset serves everybody."""
    kv_salt_file: str | None = None
    """File with a secret that salts of `kvIsolation` are made with, the same for all pickers; unset takes
    none, so that whoever reaches engines directly could tell a tenant's salt."""
    store: StoreSettings = StoreSettings()
    content: ContentSettings = ContentSettings()

    @property
    def floor(self) -> bool:
        """Whether something holds that no request may get round."""
        return self.identity is not None or self.unmatched == "refuse"

    @property
    def refuses_unmatched(self) -> bool:
        """Whether requests that no policy matches are refused."""
        return self.floor and self.unmatched != "serve"
