"""The page of `keras-attn app`: a tab for each task, to try models in a browser.

It needs gradio: `pip install 'keras-attn[app]'`.

- `models`: the models of the page, which are loaded on first use.
- `tabs`: what a tab asks for and shows, for each task; `register_tab` adds one.
- `results`: answers and agreement as HTML.
- `page`: the page itself.
- `server`: the web server.
"""
