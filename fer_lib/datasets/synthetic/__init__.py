"""Generated faces: expressions by action units, the drawing of one face, the forms that hold them."""
