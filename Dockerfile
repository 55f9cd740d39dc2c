# Ordinaut's image: one image, one process a container; compose.yaml names the commands.
# Each RUN line is one target of the Makefile, which continuous integration runs on its own machine as well.

# The full image brings make; nothing of it but /opt/venv and /app reaches the image that runs.
FROM python:3.11-bookworm AS build
WORKDIR /app
ENV PYTHONDONTWRITEBYTECODE=0 IMAGE_VENV=/opt/venv

# Dependencies change less often than code: a layer of their own.
COPY Makefile requirements.txt ./
RUN make image-deps

COPY pyproject.toml README.md manage.py ./
COPY ordinaut_project ordinaut_project
COPY scheduling scheduling
COPY pipelines pipelines
COPY workers workers
COPY templates templates
COPY deploy deploy
RUN make image-project image-static

FROM python:3.11-slim-bookworm
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

# A number, so that an orchestrator can see that it is not root; it owns nothing and writes nothing here.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python"]
CMD ["-m", "uvicorn", "ordinaut_project.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "8", "--no-access-log"]
