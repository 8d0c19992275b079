"""Start a relay: `python -m app.relay`. Any number of relays can run, anywhere; SIGTERM stops one."""

from saaskit.features import load_features
from saaskit.jobs.relay import run_relay

from app.settings import get_settings

if __name__ == "__main__":
    load_features("app")
    run_relay(get_settings())
