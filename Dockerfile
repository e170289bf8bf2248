# One image for every part of Pilotage: the word after `pilotage` says which one runs.
#   docker build -t pilotage:dev .
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# exactly what the lock files name: a layer that changes only with them
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/pilotage \
 && /opt/pilotage/bin/python -m pip install --quiet --require-hashes --requirement requirements.lock \
 && python3 -m venv /opt/build \
 && /opt/build/bin/python -m pip install --quiet --require-hashes --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY kube kube
COPY extproc extproc
COPY operator operator
COPY cli cli
COPY sim sim
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && /opt/pilotage/bin/python -m pip install --quiet --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/pilotage/bin/python -m pip uninstall --quiet --yes pip setuptools \
 && /opt/pilotage/bin/python -m compileall -q /opt/pilotage/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="pilotage" \
      org.opencontainers.image.description="Inference gateway extension for Kubernetes: picker, operator, Envoy, simulator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/pilotage /opt/pilotage
# nothing is written at run time: the root file system may be read-only
ENV PATH=/opt/pilotage/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOGNAME=pilotage
USER 65532:65532
WORKDIR /
ENTRYPOINT ["pilotage"]
