DO $$
DECLARE
    view regclass;
BEGIN
    IF to_regproc('ledger.refuse_write') IS NULL THEN
        RETURN;
    END IF;
    FOR view IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'walras'::regnamespace AND relkind = 'v' AND NOT EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND tgname = 'read_only'
        )
    LOOP
        EXECUTE format(
            'CREATE TRIGGER read_only INSTEAD OF INSERT OR UPDATE OR DELETE ON %s '
            'FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write()', view
        );
    END LOOP;
END
$$
