# The service and what it needs, nothing else. docs/deploy.md tells how it is built and run.
# deploy/release.sh gives it by its digest.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# With the hash seed the byte code is the same each time it is made.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0
WORKDIR /build

# The dependencies first, and in a layer of their own: they change seldom.
COPY deploy/locks/ deploy/locks/
# Anything: with what a service needs that keeps a prediction log, or outcomes.
ARG PREDICTION_LOG=""
RUN python3 -m venv --without-pip /opt/venv \
  && python3 -m pip --python /opt/venv/bin/python3 install \
    --no-compile --require-hashes --no-deps --only-binary :all: --requirement deploy/locks/serving.txt \
    ${PREDICTION_LOG:+--requirement deploy/locks/log.txt} \
  && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
  && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/venv

RUN python3 -m venv --without-pip /build/venv \
  && python3 -m pip --python /build/venv/bin/python3 install \
    --require-hashes --no-deps --only-binary :all: --requirement deploy/locks/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src/ src/
COPY api/ api/
RUN python3 -m pip --python /build/venv/bin/python3 install \
    --no-compile --no-deps --no-build-isolation --target /opt/carprice . \
  && rm -r /opt/carprice/bin \
  && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/carprice

FROM ${BASE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/carprice /opt/carprice

# A model folder of the build context, for the day when neither registry nor cache has one.
ARG MODEL=""
COPY ${MODEL:-LICENSE} /opt/model/

ENV PATH=/opt/venv/bin:$PATH \
  PYTHONPATH=/opt/carprice \
  PYTHONDONTWRITEBYTECODE=1 \
  PYTHONUNBUFFERED=1 \
  CARPRICE_BAKED_MODEL=${MODEL:+/opt/model} \
  CARPRICE_MODEL_CACHE=/var/lib/carprice/models
RUN mkdir -p /var/lib/carprice/models && chown -R 10001:10001 /var/lib/carprice
USER 10001:10001
WORKDIR /var/lib/carprice
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python3", "-m", "api.healthcheck"]
ENTRYPOINT ["python3", "-m", "api"]
CMD ["serve"]

ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="carprice" \
  org.opencontainers.image.description="Used-car valuation service" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}" \
  com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true"
