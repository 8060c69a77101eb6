# The gateway alone: no compiler, no package manager's cache, no root.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.13-slim
ARG EXTRAS=""
COPY --from=build /wheel /wheel
RUN pip install --no-cache-dir "$(ls /wheel/*.whl)${EXTRAS}" && rm -rf /wheel \
 && useradd --system --uid 10001 --home-dir /var/lib/hapenny --create-home hapenny
COPY deploy/container/hapenny.yaml /etc/hapenny/hapenny.yaml
USER 10001
WORKDIR /var/lib/hapenny
VOLUME /var/lib/hapenny
EXPOSE 8790
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8790/health/live', timeout=2)"]
ENTRYPOINT ["hapenny"]
CMD ["serve", "-c", "/etc/hapenny/hapenny.yaml", "--host", "0.0.0.0"]
