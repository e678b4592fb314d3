"""A naive twin of the market: a second, slow and obvious reading of SEMANTICS version 2.

Where the page can be read in two ways, this is how the twin reads it:

- Rules 2 and 3 are not asked of a `market_opened`, whatever the market's state.
- The quota counts bids, withdrawals and transfers from rule 4 on, refused ones too; before the
  first opening there is nothing to count. An id is used by what got past rule 5, also by a
  duplicate.
- A market is active only once it was opened, in windows with any command of its own but a quote;
  a refused `market_opened` is such a command. Its price rows are of the resources in force.
- Price levels, and so `wanted`, exist under every rule, by the formula of "all other rules" where
  it is not `uniform_lab`. `wanted` counts all units of a bid that can pay for all of them, or none.
- A result is for whoever sent a well-formed command, in a market that never opened too. A refused
  transfer shows its purpose. Its size is that of compact UTF-8 JSON; `counts` are of outcomes
  alone, without the statuses that did not occur. Ids stand in lower case.
- `next_seq` of a window message is the sequence behind the window's last message, ticks included.
- An account has a row from its first posting on, treasury and house too.
- The dead letter of a message that is no batch shows all its bytes; that of an element shows them
  from its first character to its last, without the space around it.
"""
