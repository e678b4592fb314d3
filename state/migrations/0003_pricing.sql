-- What the pricing flow needs besides the windows: the operator's choices, and a short way to sales.

-- The controller of each resource as the operator wrote it down, whether or not it is listed yet.
-- A listed resource without a row is priced by the usual controller.
CREATE TABLE ledger.controller (
    market text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    choice jsonb NOT NULL,
    PRIMARY KEY (market, resource)
);

-- Controllers start from the latest sales of a resource, which may lie far back.
CREATE INDEX price_sold ON ledger.price (market, resource, window_id) WHERE sold > 0;
