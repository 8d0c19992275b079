"""The product's settings: add yours here. saaskit.Settings has those of the platform."""

from functools import lru_cache

from saaskit.settings import Settings as PlatformSettings
from saaskit.settings import load_settings


class Settings(PlatformSettings):
    """Each field is an environment variable of the same name in upper case."""

    product_name: str = "Acme"
    """The product's name, as users see it in pages, mails and the API documentation."""
    team_email: str = "team@example.com"
    """The e-mail address of your team."""

    def oauth_redirect_uri(self, provider: str) -> str:
        """Return the URL to which an OAuth provider sends the browser back."""
        return f"{self.origin}/api/auth/callback/{provider}"


@lru_cache
def get_settings() -> Settings:
    """Read the settings once per process; raises SettingsError with all problems."""
    return load_settings(Settings)
