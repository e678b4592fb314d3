-- Views of one table accept writes, which would reach the ledger past every check. A trigger on each
-- view refuses them from everybody, its owner too. The start sets the triggers, also on views of
-- later migrations (connectors/postgres/sql/protect_views.sql).
CREATE FUNCTION ledger.refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the views of schema walras are read-only'
        USING ERRCODE = 'insufficient_privilege',
        HINT = 'What is in the ledger follows from the log: send a command.';
END
$$;
