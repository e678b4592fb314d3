"""An agent that buys 100 tokens, bids more each time it gets too few, and gives away the rest."""

import asyncio
import os

from walras_client import WalrasClient

NEEDED = 100


async def main() -> None:
    url, creds = os.environ["WALRAS_NATS_URL"], ".walras/agents/a1.creds"
    async with WalrasClient.connect(url, market="m1", agent="a1", creds=creds) as me:
        budget = (await me.balance()).balance_micros // 10
        price = next(p for p in (await me.prices()).prices if p.resource == "tokens")
        offer, bought, paid = price.reference_micros, 0, 0
        while bought < NEEDED and paid + (NEEDED - bought) * offer <= budget:
            bid = await me.bid("tokens", NEEDED - bought, offer)
            outcome = await me.outcome(bid, timeout_s=30)
            print(f"offered {offer} per token: {outcome.status}, {outcome.reason or outcome.won}")
            bought += outcome.won.get("tokens", 0)
            paid += outcome.paid_micros
            offer += offer // 10
        print(f"{bought} tokens for {paid} micro-credits")
        if budget > paid:
            gift = await me.transfer("a2", budget - paid, purpose="what I did not need")
            print(f"the rest of the budget to a2: {(await me.outcome(gift, timeout_s=30)).status}")


asyncio.run(main())
