"""simonw/llm: its command line, with the gateway as an extra OpenAI model."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

url = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "extra-openai-models.yaml").write_text(
        f"- model_id: ours\n  model_name: strong\n  api_base: {url}/v1\n  can_stream: true\n", encoding="utf-8"
    )
    environment = {**os.environ, "LLM_USER_PATH": folder, "OPENAI_API_KEY": "k"}
    command = [str(Path(sys.executable).with_name("llm")), "-m", "ours", "--key", "k", "Hello"]
    for more in ([], ["--no-stream"]):
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=60)
        assert "21 degrees" in done.stdout, done.stderr
print("ok")
