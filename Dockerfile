# The service, with XLA's CPU plugin, for linux/amd64:
#
#   docker build -t lorikeet .
#   docker run --rm -v lorikeet:/data lorikeet keys create --name me --scope admin
#   docker run -p 8080:8080 -v lorikeet:/data lorikeet --base minilm=hf:sentence-transformers/all-MiniLM-L6-v2
#
# It listens to the whole network, so requests need the key that the first run prints.
#
# Builder and runtime are the same Debian, so that the binary finds its C library.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY inference/device/goops/go.mod inference/device/goops/
RUN go mod download
COPY . .
# cgo loads the XLA plugin; SIMD is for the Go backend, which stays the fallback.
ENV CGO_ENABLED=1 GOEXPERIMENT=simd
RUN go build -trimpath -buildvcs=false -ldflags='-s -w' -o /out/lorikeet ./service

# The plugin is the one the service itself would install, hashes and all.
FROM build AS plugin
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-pip \
 && rm -rf /var/lib/apt/lists/*
ENV XDG_CACHE_HOME=/plugin LORIKEET_DATA=/plugin
RUN /out/lorikeet backend install \
 && install -D -m 0755 "$(find /plugin -name pjrt_c_api_cpu_plugin.so)" /out/pjrt_c_api_cpu_plugin.so

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin lorikeet \
 # Where a volume for the store is mounted: Docker gives it the owner of this folder.
 && install -d -o 10001 /store
# One of the folders in which the service looks for plugins.
COPY --from=plugin /out/pjrt_c_api_cpu_plugin.so /usr/local/lib/go-xla/
COPY --from=build /out/lorikeet /usr/local/bin/
COPY --from=build /src/LICENSE /usr/share/doc/lorikeet/

USER 10001
WORKDIR /data
VOLUME /data
ENV HOME=/data LORIKEET_DATA=/data LORIKEET_ADDR=0.0.0.0:8080
EXPOSE 8080
# Loading weights and compiling the first shapes takes a while on a small machine.
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["lorikeet", "health"]
ENTRYPOINT ["lorikeet"]
