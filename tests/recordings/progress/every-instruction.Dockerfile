# escape=`
# A comment
ARG BASE=base
ARG NOBASE=scratch
FROM ${BASE} AS Deps
LABEL a=b
ENV A=1 B=two
WORKDIR /
WORKDIR /app
# comment inside
COPY x.txt `
  # comment in continuation
  y.txt `
  ./
ADD x.txt /added
RUN echo one &&`
    echo two
RUN <<EOF
echo heredoc
echo more
EOF
COPY <<A <<B /here/
a
A
b
B
SHELL ["/bin/sh", "-c"]
ONBUILD RUN echo triggered
ONBUILD ENV Q=1
ONBUILD COPY y.txt /trig

FROM deps AS child
RUN echo child

FROM ${NOBASE} AS empty
COPY --from=deps /app /app
COPY --link --from=child /app /app2
WORKDIR /w
VOLUME /v
EXPOSE 80
STOPSIGNAL SIGTERM
HEALTHCHECK NONE
ENTRYPOINT ["x"]
CMD ["y"]
MAINTAINER me

FROM base
COPY --link x.txt /l
RUN --mount=type=bind,from=empty,target=/m --mount=type=cache,target=/c ls /m > /ls
COPY --from=child /trig /trig
COPY --from=empty /app2 /app2
run echo lower
RUN ["/bin/sh", "-c", "echo json"]
