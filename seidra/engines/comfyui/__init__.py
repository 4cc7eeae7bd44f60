"""The engine kind `comfyui`: pictures made by a ComfyUI server, with the protocol of 0.30
(`/api/jobs`) or the one before it, from 0.3.45 on (`/history` and `/queue`).

`client` speaks the protocol, `listener` hears progress on the socket, `stock` knows what the server
has, `sampling` how it names samplers, `graphs` makes what is sent, `failures` makes sentences of
what comes back, `engine` puts it together.
"""

from seidra.engines.comfyui.engine import ComfyUIEngine

__all__ = ["ComfyUIEngine"]
