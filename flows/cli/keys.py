"""The keys of a deployment: made, shown, written out for a broker of one's own, rotated.

Promise: no seed is printed; nothing that exists is overwritten but by `rotate`, which voids it.
"""

import json

from flows.cli.console import print_data, print_status, start


def init() -> None:
    from connectors.identity.keys import ensure_keys
    from flows.runtime.servers import key_folder

    keys = key_folder(start())
    ensure_keys(keys)
    print_data(str(keys.root))


def show_keys() -> None:
    from connectors.identity.keys import ROOTS
    from flows.runtime.access import known_keys

    keys = known_keys(start())
    for name in ROOTS:
        print_data(f"{name:<9} {keys.key(name).public}")
    print_data(f"{'folder':<9} {keys.root}")


def server_config() -> None:
    from connectors.identity.keys import trust
    from flows.runtime.access import known_keys

    settings = start()
    known = trust(known_keys(settings), shards=settings.shards)
    print_data(f"operator: {known.operator}")
    print_data(f"system_account: {known.system_account}")
    print_data('resolver: {\n  type: full\n  dir: "./accounts"\n  interval: "2m"\n}')
    print_data("resolver_preload: {")
    for account, jwt in known.accounts.items():
        print_data(f"  {account}: {json.dumps(jwt)}")
    print_data("}")


def rotate() -> None:
    from flows.runtime.access import rotate_keys

    rotate_keys(start())
    print_status("the old credentials of the deployment are void")
