# What the server carries and answers as it is: route, file, content type.
#   include(web/files.cmake)
#   itemcrop_embed_files(embedded_web_files ${web_files})     # from cmake/embed_files.cmake
set(web_files
  "/ui|web/ui.html|text/html"
  "/ui/app.js|web/app.js|text/javascript"
  "/ui/style.css|web/style.css|text/css"
  "/ui/icon.svg|web/icon.svg|image/svg+xml"
  "/ui/sample.jpg|../../examples/wardrobe.jpg|image/jpeg"
  "/docs|web/docs.html|text/html"
  "/docs/docs.js|web/docs.js|text/javascript"
  "/openapi.json|web/openapi.json|application/json")
