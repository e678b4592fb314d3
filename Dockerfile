# The image of `walras up`: the locked packages, no root, no state on its own disk.
#
# The first stage builds the environment, the second has no uv and no caches. The folder is the same
# in both: the environment refers to the code by its path.

FROM python:3.12-slim AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /opt/walras

# The same uv that `make` installs, pinned by hash.
COPY tools/uv-requirements.txt tools/
RUN pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
    --requirement tools/uv-requirements.txt

# Dependencies first: this layer is built again only when the lock changes.
COPY pyproject.toml uv.lock ./
COPY schemas/pyproject.toml schemas/
COPY client/pyproject.toml client/
RUN uv sync --locked --no-dev --no-install-workspace

COPY LICENSE ./
COPY schemas schemas
COPY client client
COPY state state
COPY otel otel
COPY operators operators
COPY connectors connectors
COPY flows flows
COPY bench bench
RUN uv sync --locked --no-dev

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home --home-dir /var/lib/walras --shell /usr/sbin/nologin walras
COPY --from=build /opt/walras /opt/walras
ENV PATH=/opt/walras/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1
USER walras
WORKDIR /var/lib/walras

# `doctor` checks both servers, the streams and the schema; a start may take `start-period`.
HEALTHCHECK --start-period=30s --interval=30s --timeout=10s --retries=3 CMD ["walras", "doctor"]
ENTRYPOINT ["walras"]
CMD ["up"]
